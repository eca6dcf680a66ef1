"""Built-in studies: several claims that answer one question together."""
