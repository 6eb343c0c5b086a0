# Jobs that outgrow their first request, and one that asks for a GPU. `retries` and memory are the profile's business:
# nothing here knows of Slurm.


rule all:
    input:
        "memory.txt",
        "time.txt",
        "gpu.txt",


# Holds half a gigabyte until the poll of the node has seen it.
rule memory:
    output:
        "memory.txt",
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 500,
        runtime=10,
    shell:
        "python3 -c 'import time; block = bytearray(500 << 20); time.sleep(6)'; "
        "echo {resources.mem_mb} > {output}"


# Too long for one minute, short once it has two.
rule time:
    output:
        "time.txt",
    resources:
        mem_mb=400,
        runtime=lambda wildcards, attempt: attempt,
    shell:
        "[ {resources.runtime} -gt 1 ] || sleep 600; echo {resources.runtime} > {output}"


rule gpu:
    output:
        "gpu.txt",
    threads: 2
    resources:
        mem_mb=300,
        runtime=10,
        gpu=1,
    shell:
        "echo gpus $CUDA_VISIBLE_DEVICES > {output}"
