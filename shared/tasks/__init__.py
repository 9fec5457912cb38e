"""Images whose packages cannot be assembled in process: built by runs of ACR Tasks, beside the registry."""
