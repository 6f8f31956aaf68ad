"""The models package against a scripted server on the loopback interface."""
