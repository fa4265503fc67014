"""The engine: how networks are built, trained and run. Nothing here is public.

Only what is needed to plan a training is imported without torch.
"""
