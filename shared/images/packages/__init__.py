"""Packages: decided on and locked, installed for the platform an image is for, and packed a layer each."""
