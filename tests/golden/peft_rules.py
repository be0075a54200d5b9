"""Rules of PEFT that we take over without a reference of their own."""

import peft
import torch
from peft.optimizers import create_loraplus_optimizer


def check_all_linear(model, linears):
    """PEFT's word for the seven projections of a block: the list that our `all-linear` stands for."""
    count = 7 * model.config.num_hidden_layers
    settings = peft.LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM")
    found = peft.get_peft_model(model, settings).peft_config["default"].target_modules
    wanted = {f".{linear}" for linear in linears}
    blocks = all(".layers." in module and module[module.rindex(".") :] in wanted for module in found)
    assert blocks and len(found) == count, f"all-linear is {sorted(found)}"


def check_lora_plus(model, linears):
    """Rows of single tokens learn at the rate of A, magnitudes of DoRA at that of B."""
    settings = dict(use_dora=True, trainable_token_indices=dict(embed_tokens=[5], lm_head=[5]))
    model = peft.get_peft_model(model, peft.LoraConfig(target_modules=linears, **settings))
    optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16)
    rates = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    for key, weight in model.named_parameters():
        is_up = "lora_B" in key or "lora_magnitude_vector" in key
        assert not weight.requires_grad or rates[id(weight)] == (1.6e-2 if is_up else 1e-3), key
