"""Trees on a GPU: layouts of `attention.TreeLayout`'s kind whose kernels neither pad nor mask."""
