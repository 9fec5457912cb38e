"""The compute node of one machine: runs the content of images as local processes, behind one front end."""
