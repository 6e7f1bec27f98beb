"""Mistakes in a command: what is written, and parts of the message that answers it."""

MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "typo": (
        ["cell.hiden_size=8"],
        ["cell.hiden_size=8: there is no key", "Did you mean cell.hidden_size?", "1 <= hidden_size", "Write cell.hid"],
    ),
    "typo of a group": (
        ["optimiser=adam"],
        ["optimiser=adam: there is no key 'optimiser'", "Did you mean optimizer=adam?"],
    ),
    "key without its group": (["lr=0.1"], ["lr=0.1: there is no key 'lr'", "Did you mean optimizer.lr?"]),
    "new key": (["+new=1"], ["there is no key 'new'", "Known here: cell, data"]),
    "new key in a group": (["+cell.nu=1"], ["there is no key 'cell.nu'", "Did you mean cell.mu?", "Write cell.mu=0.6"]),
    "removed key": (["~cell.mu"], ["~cell.mu: ", "Write cell.mu=0.6"]),
    "word for a number": (["cell.hidden_size=many"], ["cell.hidden_size=many: ", "a whole number", "=256"]),
    "fraction for a whole number": (["trainer.epochs=1.5"], ["trainer.epochs=1.5: ", "a whole number", "epochs=150"]),
    "word for a switch": (["cell.bidirectional=maybe"], ["cell.bidirectional=maybe: ", "true or false", "=false"]),
    "null": (["optimizer.lr=null"], ["optimizer.lr=null: ", "a finite number, 0 < lr", "Write optimizer.lr=0.001"]),
    "list for a number": (["cell.mu=[1]"], ["cell.mu=[1]: ", "0 <= mu < 1", "Write cell.mu=0.6"]),
    "number for a list": (["tracking=wandb", "tracking.tags=3"], ["tracking.tags=3: ", "a list", "tags=[trial]"]),
    "too large": (["cell.mu=1.0"], ["cell.mu=1.0 is not allowed", "0 <= mu < 1", "Write cell.mu=0.6"]),
    "too small": (["trainer.batch_size=0"], ["trainer.batch_size=0 is not", "1 <= batch_size", "batch_size=128"]),
    "negative": (["seed=-1"], ["seed=-1 is not allowed", "0 <= seed <= 4294967295", "Write seed=0"]),
    "NaN": (["cell.mu=nan"], ["cell.mu=nan is not allowed", "a finite number", "0 <= mu < 1"]),
    "NaN where there is no range": (["cell.forget_bias=nan"], ["cell.forget_bias=nan is not", "a finite number"]),
    "infinite": (["cell.s=inf"], ["cell.s=inf is not allowed", "a finite number", "0 < s", "Write cell.s=0.6"]),
    "not one of the words": (["trainer.precision=half"], ["trainer.precision=half is not", "float32, tf32, bf16"]),
    "unknown cell": (["cell=lstn"], ["cell=lstn: there is no such cell", "momentumlstm", "Write cell=lstm"]),
    "unknown data": (["data=cifar"], ["data=cifar: there is no such data", "pmnist", "Write data="]),
    "unknown launcher": (
        ["-m", "hydra/launcher=jobli", "seed=0,1"],
        ["hydra/launcher=jobli: there is no such hydra/launcher", "Write hydra/launcher=joblib"],
    ),
    "unknown experiment": (["experiment=x"], ["experiment=x: there is no such experiment", "pmnist_lstm_n256"]),
    "unknown recurrence": (["cell.recurrence=x"], ["cell.recurrence=x: known are ", "Write cell.recurrence=lstm"]),
    "unknown dynamics": (["cell.dynamics=x"], ["cell.dynamics=x: known are adam", "Write cell.dynamics=momentum"]),
    "unknown data set": (
        ["data.name=x"],
        ["data.name=x: known are adding, copying, digits", "data.name=mnist"],
    ),
    "a pair that does not go together": (
        ["cell=srlstm_released", "cell.dynamics=momentum"],
        ["cell.recurrence=srlstm_released", "dynamics=momentum", "write dynamics=identity"],
    ),
    "no effect for the cell": (["cell=lstm", "cell.mu=0.3"], ["cell.mu=0.3 has no effect", "identity", "Leave it out"]),
    "an option of another recurrence": (
        ["cell=lstm", "cell.rebase=1"],
        ["cell.rebase=1 has no effect", "lstm with iden"],
    ),
    "no constrained weight": (
        ["cell=lstm", "optimizer.lr_orthogonal=0.0002"],
        ["optimizer.lr_orthogonal=0.0002 has no effect", "recurrence lstm constrains no weight", "Leave it out"],
    ),
    "no algorithm for what is not there": (
        ["cell=momentumrnn", "optimizer.orthogonal=sgd"],
        ["optimizer.orthogonal=sgd has no effect", "recurrence rnn constrains no weight"],
    ),
    "learning what there is not": (
        ["cell=momentumlstm", "cell.learn=[mu,x]"],
        ["cell.learn=x: momentum dynamics can learn mu, s", "Write cell.learn=[mu,s]"],
    ),
    "learning what belongs to another dynamics": (
        ["cell=srlstm", "cell.learn=[s,beta]"],
        ["cell.learn=beta: nesterov dynamics can learn s"],
    ),
    "nothing to learn": (["cell=lstm", "cell.learn=[mu]"], ["cell.learn=mu: identity dynamics can learn nothing"]),
    "no list to learn": (["cell.learn=mu"], ["cell.learn=mu: ", "a list", "Write cell.learn=[mu,s]"]),
    "learning nothing per gate": (
        ["cell=momentumlstm", "cell.learn_per=gate"],
        ["cell.learn_per=gate has no effect", "nothing is learned", "cell.learn=[mu,s]", "Leave it out"],
    ),
    "learning by an engine that can't": (
        ["cell=momentumlstm", "cell.learn=[mu]", "cell.engine=library"],
        ["cell.engine=library can't", "a learned mu, s or beta", "engine=auto"],
    ),
    "no effect with one layer": (["cell.dropout=0.5"], ["cell.dropout=0.5 has no effect", "cell.num_layers is 1"]),
    "no effect for the optimizer": (["optimizer.beta1=0.8"], ["optimizer.beta1=0.8 has no effect", "rmsprop", "alpha"]),
    "no effect without W&B": (["tracking.mode=online"], ["tracking.mode=online has no effect", "tracking=wandb"]),
    "no effect without diagnostics": (
        ["diagnostics=none", "diagnostics.every=7"],
        ["diagnostics.every=7 has no effect", "every diagnostic is off"],
    ),
    "Nesterov without momentum": (
        ["optimizer=sgd", "optimizer.nesterov=true"],
        ["optimizer.nesterov=true needs", "optimizer.momentum=0.9"],
    ),
    "an engine that can't": (
        ["cell=srlstm_released", "cell.engine=library"],
        ["cell.engine=library can't", "srlstm_released", "no fused kernel", "engine=auto"],
    ),
    "pixel order": (["data.permutation=random"], ["data.permutation=random: ", "released", "bit_reversal", "write"]),
    "fraction as a pixel order": (["data.permutation=1.5"], ["data.permutation=1.5: ", "Write data.permutation=fixed"]),
    "too many held out": (["data.validation=99999"], ["data.validation=99999: ", "0 (none) to", "write"]),
    "no value": (["seed"], ["'seed'", "missing EQUAL", "group=option or key=value"]),
    "open bracket": (["tracking.tags=[a"], ["tracking.tags=[a", "group=option or key=value"]),
    "no folder for runs": (
        ["paths.runs=/dev/null/runs"],
        ["the run folder /dev/null", "paths.runs=FOLDER"],
    ),
    "no folder for a sweep": (
        ["-m", "paths.runs=/dev/null/runs", "seed=0,1"],
        ["cannot write /dev/null", "paths.runs=FOLDER"],
    ),
    "sweep over words": (["-m", "cell.hidden_size=4,many"], ["many", "a whole number", "cell.hidden_size=256"]),
    "sweep over names": (["-m", "cell=lstm,lstn"], ["cell=lstn: there is no such cell", "momentumlstm"]),
}
