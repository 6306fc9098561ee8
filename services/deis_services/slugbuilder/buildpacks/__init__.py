"""Our own buildpacks, each of the classic contract: bin/detect, bin/compile, bin/release."""
