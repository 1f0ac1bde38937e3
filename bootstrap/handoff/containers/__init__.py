"""Containers of podman, docker or bubblewrap: what one is, who confines it, its run to its end."""
