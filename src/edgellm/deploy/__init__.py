"""Getting edgellm itself onto devices: wheels for machines without a network or a compiler."""
