# The small image in which tasks run unless a node's configuration names another: busybox and
# nothing else. tools/sandbox-image makes root.tar and builds it; no registry is needed.
FROM scratch
ADD root.tar /
USER 1000:1000
WORKDIR /work
ENV PATH=/bin
CMD ["/bin/sh"]
