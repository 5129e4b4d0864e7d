"""PS-KD over three epochs, against golden numbers of the authors' code."""

from kd.backbones import build_backbone
from kd.methods.base import Task
from kd.methods.pskd.config import Config
from kd.methods.pskd.loss import ProgressiveSelfDistillation
from kd.parts.losses import soft_targets


def test_three_epochs(golden, same):
    data = golden("pskd")
    task = Task(num_classes=10, num_samples=12, epochs=int(data["end_epoch"]))
    config = Config(alpha=float(data["alpha_T"]))
    method = ProgressiveSelfDistillation(config, build_backbone("resnet8", 10), task).double()
    for epoch, order in enumerate(data["order"]):
        method.begin_epoch(epoch)
        for step, indices in enumerate(order.split(4)):
            seen = slice(4 * step, 4 * step + 4)
            labels = data["labels"][indices]
            alpha = 0.8 * (epoch + 1) / 10
            same(alpha, data["alpha_t"][epoch])
            targets = soft_targets(labels, method.history.read(indices, labels), alpha)
            same(targets, data["soft_targets_in_visit_order"][epoch, seen])

            z = data["logits"][epoch, indices].requires_grad_()
            loss = method.loss(z, labels, indices)
            loss.total.backward()
            same(loss.total, data["loss_per_batch"][epoch, step])
            same(z.grad, data["grad_logits_in_visit_order"][epoch, seen])
        method.end_epoch()
        same(method.history.values, data["history_after_epoch"][epoch])
