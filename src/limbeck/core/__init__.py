"""The abstractions: forward pass, taps, net, rows, method, task, distiller, plan."""
