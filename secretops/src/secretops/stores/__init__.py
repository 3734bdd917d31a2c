"""Code that the stores of several platforms share. One contract suite tests all stores."""
