"""Update rules: how commits become a version. One file each."""
