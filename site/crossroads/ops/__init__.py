"""Running the site: server, supervisor, migrations, doctor, demo data."""
