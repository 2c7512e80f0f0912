"""A DICOM node: series come by the network, are denoised, and go on by the network."""
