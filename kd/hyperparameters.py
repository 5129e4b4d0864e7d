"""The former name of the methods' configurations, for code that says so.

Exported Python files say `from kd.hyperparameters.NAME import Config`; that module is now
`kd.methods.NAME.config`. Importing this imports no torch.
"""

import sys

from kd.methods import MethodConfig, Recipe, config_class, is_added, method_module, method_names

__all__ = ["MethodConfig", "Recipe", "config_class", "method_names"]

for _name in (name for name in method_names() if not is_added(name)):
    _module = method_module(_name, "config")
    sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _module
