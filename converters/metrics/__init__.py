"""Scores with 95 % intervals: mIoU and pixel accuracy, top-1, COCO's average precision."""
