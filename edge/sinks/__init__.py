"""Where finished frames go: a video with the mask drawn over it, and whatever else implements `edge.pipeline.Sink`."""
