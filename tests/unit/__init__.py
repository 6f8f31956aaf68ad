"""The parts by themselves: no network, no server, no pytest run of the plugin."""
