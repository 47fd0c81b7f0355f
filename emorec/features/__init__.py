"""Raw media to arrays: frames of a video, faces in them."""
