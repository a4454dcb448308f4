"""Tools of staff that know nothing of signing in: what stands behind the gateway."""
