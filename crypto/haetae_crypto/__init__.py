"""haetae_crypto"""
