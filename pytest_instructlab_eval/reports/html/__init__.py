"""report.html: a run as one page, which needs neither a server nor a network."""
