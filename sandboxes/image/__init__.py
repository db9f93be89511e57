"""The sandbox's image: its build, and what runs inside the build."""
