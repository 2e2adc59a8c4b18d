#: group memory
#: tries kernel memory by page tables
#: holds page tables count as the runner's memory
#: status memory timeout
#: memory-mib 48
#: time-ms 30000

import mmap

area = mmap.mmap(-1, 1 << 40, 0x4022)
for at in range(0, 1 << 40, 2 << 20):
    area[at] = 0 if area[at] else area[at]
    _ = area[at]
escaped("a page table for each of half a million pages")
