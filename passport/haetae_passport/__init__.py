"""haetae_passport"""
