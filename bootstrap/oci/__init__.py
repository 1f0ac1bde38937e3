"""The verified stage0 as an OCI image layout: written, and read back."""
