# SPDX-License-Identifier: MIT
# The gateway's image; `--build-arg WHAT=recommender --target recommender` is the other. Without an engine: `make image`.
FROM debian:12 AS build
ARG WHAT=gateway
COPY . /src
WORKDIR /src
RUN apt-get update -q && apt-get install -q -y --no-install-recommends make git && .ci/deps build image && make all \
    && scripts/image/make "$WHAT" --root /image

FROM scratch AS recommender
COPY --from=build /image /
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/recommender"]
CMD ["help"]

FROM scratch AS gateway
COPY --from=build /image /
USER 65532:65532
VOLUME /var/lib/patchbay
ENV STATE_DIRECTORY=/var/lib/patchbay
EXPOSE 50058 8080 9090
ENTRYPOINT ["/usr/local/bin/patchbay"]
CMD ["run"]
