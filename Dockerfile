# The image of the function, for those who use Docker: the same files that make
# package puts into the package. No shell, no libc, not root.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY . .
RUN go run -C tools/package . -rootfs /rootfs -platforms "$TARGETOS/$TARGETARCH"

FROM scratch
LABEL io.artifacthub.package.category="security" \
      io.artifacthub.package.keywords="crossplane,composition function,workload identity,service account,iam,eks,aks,gke" \
      io.artifacthub.package.license="Apache-2.0" \
      io.artifacthub.package.logo-url="https://raw.githubusercontent.com/serviceconnections/function-service-connections/v0.1.0/docs/icon.svg" \
      io.artifacthub.package.readme-url="https://raw.githubusercontent.com/serviceconnections/function-service-connections/v0.1.0/README.md" \
      org.opencontainers.image.title="function-service-connections" \
      org.opencontainers.image.description="A Crossplane composition function that connects services to cloud resources without keys." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/serviceconnections/function-service-connections" \
      org.opencontainers.image.version="v0.1.0"
COPY --from=build /rootfs /
EXPOSE 9443 8080
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/function"]
