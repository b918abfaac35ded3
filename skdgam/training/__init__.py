"""The engine that trains localizers. It knows no method.

A method brings a network, stages of training with their losses, and what its network says of a
recording; see :class:`skdgam.training.protocol.Stage` and :class:`skdgam.base.BaseLocalizer`.
"""
