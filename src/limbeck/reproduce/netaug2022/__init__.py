"""Han Cai, Chuang Gan, Ji Lin, Song Han. Network Augmentation for Tiny Deep Learning. ICLR 2022. arXiv:2110.08890.

setting        the tiny network, the large one, their data and their training
curves         both networks alone and as a part of wider ones
regularisers   what helps the large network and costs the tiny one
"""
