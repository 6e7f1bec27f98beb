"""For torchrun: every job of a JSON file as a run on all processes. Each line of it is a list of overrides."""

import json
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from torch import distributed

from momentum_exp.command_line import conf_dir, register_resolvers
from momentum_exp.config import register
from momentum_exp.data import ptb
from momentum_exp.runs import run as run_module
from momentum_exp.training.distributed import Ranks


def main() -> None:
    content = json.loads(Path(sys.argv[1]).read_text())
    ptb.TOKENS, ptb.TYPES = content["tokens"], content["types"]
    register()
    register_resolvers()
    store, rank, size = next(distributed.rendezvous("env://"))
    for number, overrides in enumerate(content["jobs"]):
        ranks = Ranks(rank, size, rank, distributed.PrefixStore(str(number), store))
        run_module.current_ranks = lambda ranks=ranks: ranks
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            run_module.run(compose("config", overrides=overrides), overrides)
        ranks.leave()


if __name__ == "__main__":
    main()
