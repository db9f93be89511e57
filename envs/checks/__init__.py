"""What makes an environment sound, as checks that hold for any TextEnv; run by `envs.check`."""
