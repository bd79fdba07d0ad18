# syntax=docker/dockerfile:1
# Build: docker build -t ghcr.io/windmill-iac/windmill-iac:0.1.0 .
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# The lock file holds the development tools too; nothing of them reaches the final stage. Install scripts stay off.
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build

# Node, glibc and CA certificates; no shell, no package manager. The bundle holds all production dependencies.
FROM gcr.io/distroless/nodejs22-debian12:nonroot
LABEL org.opencontainers.image.title="windmill-iac" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
COPY --from=build /app/dist/bundle/ /app/
ENV NODE_ENV=production
# Numeric, so that runAsNonRoot can be checked without looking into the image.
USER 65532:65532
# No flags of V8 here: with any, Node compiles its own modules anew at each start. src/memory.ts says them later.
ENTRYPOINT ["/nodejs/bin/node", "/app/bin/src/main.js"]
CMD ["reconcile"]
