# A larger image for real work, on a machine that reaches a registry and Debian's mirrors:
#
#   docker build --tag bzzz-sandbox-debian:1 - < tools/sandbox-debian.Dockerfile
#
# and then, in bzzz.toml, image = "bzzz-sandbox-debian:1" below [sandbox], or images =
# ["bzzz-sandbox-debian:1"] to let repositories ask for it. It is not built by any test: a build
# without a network cannot fetch what it starts from. Add what your projects need; at run time there
# is no network, so that nothing can be fetched then.
FROM debian:12-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        bash build-essential ca-certificates cmake diffutils file git jq less make patch \
        pkg-config procps python3 python3-pip python3-venv ripgrep unzip xz-utils \
    && rm -rf /var/lib/apt/lists/* \
    # A program that takes another user's rights has no use here: no new rights can be had.
    && find / -xdev -perm /6000 -type f -exec chmod a-s {} + \
    && useradd --uid 1000 --home-dir /tmp --no-create-home --shell /bin/bash agent
USER 1000:1000
WORKDIR /work
CMD ["/bin/bash"]
