"""haetae_fds"""
