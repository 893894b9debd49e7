"""Private kernels of the models whose causes compete."""
