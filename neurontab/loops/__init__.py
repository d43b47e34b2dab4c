"""Compiled loops: neurons or rows split among the cores of a CPU, one loop for a GPU.

Arrays are [row, neuron] unless said otherwise, a row being one position of the text; they are
changed in place. What the numbers mean is told by the accumulators in `measure` that call these.
What is compiled is kept until the loop's own file changes: constants stand there.
"""
