"""What a denoiser changed in a series, judged against the noise of that series itself."""
