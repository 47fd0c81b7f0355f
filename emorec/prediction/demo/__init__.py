"""A page on this computer where one drops or records a clip and sees its scores."""
