"""What is found in the images of well-known Node projects: their facts as of one day, written down anew.

Only what a rule can see is here. The findings are judged by hand, and each that is missing, or too much, would be told
to a stranger about a file that many people have looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.checking import Files, Seen, checked, seen

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST = "sha256:" + "3bca" * 16
_IGNORE = "node_modules\n.git\n.env\n"


class Project(NamedTuple):
    """One project.

    Attributes:
        files: by path.
        expected: RULE LEVEL LINE, of the Dockerfile where no other file is named.
        target: the stage that is published, where that is not the last.
    """

    files: Files
    expected: str
    target: str = ""


PROJECTS = {
    "verdaccio": Project(
        {
            "Dockerfile": """
                FROM --platform=${BUILDPLATFORM:-linux/amd64} node:20.17.0-alpine as builder
                ENV NODE_ENV=production CI=true
                RUN apk --no-cache add g++ make python3
                WORKDIR /opt/verdaccio-build
                COPY . .
                RUN yarn config set enableScripts false && \\
                    yarn install --immutable && \\
                    yarn build
                RUN yarn pack --out verdaccio.tgz && mkdir -p /opt/tarball && mv verdaccio.tgz /opt/tarball
                FROM node:20.17.0-alpine
                ENV VERDACCIO_APPDIR=/opt/verdaccio VERDACCIO_USER_UID=10001 VERDACCIO_PORT=4873 \\
                    VERDACCIO_PROTOCOL=http
                ENV PATH=$VERDACCIO_APPDIR/docker-bin:$PATH
                WORKDIR $VERDACCIO_APPDIR
                RUN apk --no-cache add openssl dumb-init
                COPY --from=builder /opt/tarball .
                USER root
                RUN npm install -g $VERDACCIO_APPDIR/verdaccio.tgz \\
                    # the cache is of no use
                    && npm cache clean --force
                ADD conf/docker.yaml /verdaccio/conf/config.yaml
                ADD docker-bin $VERDACCIO_APPDIR/docker-bin
                USER $VERDACCIO_USER_UID
                EXPOSE $VERDACCIO_PORT
                ENTRYPOINT ["uid_entrypoint"]
                CMD verdaccio --config /verdaccio/conf/config.yaml --listen $VERDACCIO_PROTOCOL://0.0.0.0:$VERDACCIO_PORT
                """,
            "docker-bin/uid_entrypoint": """
                #!/bin/sh
                whoami || echo "verdaccio:x:$(id -u):0::/:/sbin/nologin" >> /etc/passwd
                exec /usr/bin/dumb-init -- "$@"
                """,
            ".dockerignore": _IGNORE,
        },
        """
        base-digest info 1
        audit-missing info 10
        healthcheck-missing warning 10
        node-env warning 10
        start-shell error 26
        """,
    ),
    "parse-server": Project(
        {
            "Dockerfile": """
                # Build stage
                FROM node:lts-alpine AS build
                RUN apk --no-cache add git
                WORKDIR /tmp
                COPY package*.json ./
                COPY . .
                RUN npm ci --omit=dev --ignore-scripts \\
                    # for later
                 && cp -R node_modules prod_node_modules \\
                 && npm ci \\
                 && npm run build
                FROM node:lts-alpine AS release
                VOLUME /parse-server/cloud /parse-server/config
                WORKDIR /parse-server
                COPY --from=build /tmp/prod_node_modules /parse-server/node_modules
                COPY --from=build /tmp/lib lib
                COPY package*.json ./
                RUN mkdir -p logs && chown -R node: logs
                ENV PORT=1337
                USER node
                EXPOSE $PORT
                ENTRYPOINT ["node", "./bin/parse-server"]
                """,
            ".dockerignore": _IGNORE,
            "package.json": '{"devDependencies": {"mongodb-runner": "*"}}',
            "package-lock.json": "{}",
            "src/ParseServer.js": "process.on('SIGTERM', handleShutdown);",
        },
        """
        base-unpinned warning 2
        audit-missing info 12
        healthcheck-missing warning 12
        node-env warning 12
        init-missing warning 22
        """,
    ),
    "outline": Project(
        {
            "Dockerfile": """
                ARG APP_PATH=/opt/outline
                ARG BASE_IMAGE=outlinewiki/outline-base
                FROM ${BASE_IMAGE} AS base
                ARG APP_PATH
                WORKDIR $APP_PATH
                FROM node:20.12.0-slim AS runner
                ARG APP_PATH
                WORKDIR $APP_PATH
                ENV NODE_ENV=production
                COPY --from=base $APP_PATH/node_modules ./node_modules
                COPY --from=base $APP_PATH/package.json ./package.json
                RUN apt-get update \\
                  && apt-get install -y wget
                USER nodejs
                HEALTHCHECK --interval=1m CMD wget -qO- "http://localhost:${PORT:-3000}/_health" | grep -q OK || exit 1
                EXPOSE 3000
                CMD ["yarn", "start"]
                """,
            "package.json": '{"scripts": {"start": "node ./build/server/index.js"}, "dependencies": {"koa": "2"}}',
            "yarn.lock": "",
        },
        """
        base-unpinned warning 3
        base-digest info 6
        init-missing warning 17
        start-npm error 17
        """,
    ),
    "umami": Project(
        {
            "Dockerfile": """
                FROM node:18-alpine AS deps
                WORKDIR /app
                COPY package.json yarn.lock ./
                RUN yarn install --frozen-lockfile
                FROM node:18-alpine AS builder
                WORKDIR /app
                COPY --from=deps /app/node_modules ./node_modules
                COPY . .
                ARG DATABASE_TYPE
                ENV DATABASE_TYPE $DATABASE_TYPE
                RUN yarn build-docker
                FROM node:18-alpine AS runner
                WORKDIR /app
                ENV NODE_ENV production
                RUN yarn add npm-run-all dotenv prisma semver
                COPY --from=builder /app/package.json ./package.json
                COPY --from=builder --chown=nextjs:nodejs /app/.next/standalone ./
                COPY --from=builder --chown=nextjs:nodejs /app/.next/static ./.next/static
                USER nextjs
                EXPOSE 3000
                CMD ["yarn", "start-docker"]
                """,
            ".dockerignore": ".git\nnode_modules\n",
            "package.json": """
                {"scripts": {"start-docker": "npm-run-all check-db start-server"},
                 "dependencies": {"next": "13"}, "devDependencies": {"typescript": "5"}}
                """,
            "yarn.lock": "",
        },
        """
        .dockerignore dockerignore-env error 1
        base-digest info 1
        audit-missing info 12
        healthcheck-missing warning 12
        npm-install warning 15
        init-missing warning 21
        start-npm error 21
        """,
    ),
    "uptime-kuma": Project(
        {
            "docker/dockerfile": """
                FROM louislam/uptime-kuma:base-debian AS build
                WORKDIR /app
                COPY . .
                RUN npm ci && \\
                    npm run build && \\
                    npm ci --production && \\
                    chmod +x /app/extra/entrypoint.sh
                FROM louislam/uptime-kuma:base-debian AS release
                WORKDIR /app
                COPY --from=build /app /app
                EXPOSE 3001
                HEALTHCHECK --interval=60s --timeout=30s --start-period=180s CMD node extra/healthcheck.js
                ENTRYPOINT ["/usr/bin/dumb-init", "--", "extra/entrypoint.sh"]
                CMD ["node", "server/server.js"]
                FROM louislam/uptime-kuma:base-debian AS upload-artifact
                COPY --from=build /app /app
                ARG GITHUB_TOKEN
                """,
            "extra/entrypoint.sh": """
                #!/usr/bin/env sh
                set -e
                exec setpriv --reuid "$PUID" --regid "$PGID" --clear-groups "$@"
                """,
            ".dockerignore": "/node_modules\n/.git\n/.env\n",
            "package.json": '{"devDependencies": {"vite": "3"}}',
            "package-lock.json": "{}",
            "server/server.js": "let shutdown; process.on('SIGTERM', shutdown);",
        },
        """
        docker/dockerfile base-digest info 1
        docker/dockerfile audit-missing info 8
        docker/dockerfile node-env warning 8
        docker/dockerfile user-root info 8
        """,
        "release",
    ),
    "etherpad": Project(
        {
            "Dockerfile": """
                # Etherpad Lite
                FROM node:10-buster-slim
                ARG ETHERPAD_PLUGINS=
                ENV NODE_ENV=production
                RUN useradd --uid 5001 --create-home etherpad
                USER etherpad
                WORKDIR /opt/etherpad-lite
                COPY --chown=etherpad:0 ./ ./
                RUN bin/installDeps.sh && \\
                    rm -rf ~/.npm/_cacache
                RUN for PLUGIN_NAME in ${ETHERPAD_PLUGINS}; do npm install "${PLUGIN_NAME}" || exit 1; done
                EXPOSE 9001
                CMD ["node", "node_modules/ep_etherpad-lite/node/server.js"]
                """,
            ".dockerignore": "node_modules\n.git\n.env\n",
            "src/node/server.js": "for (const s of ['SIGINT', 'SIGTERM']) process.on(s, exit);",
        },
        """
        audit-missing info 2
        base-digest info 2
        healthcheck-missing warning 2
        single-stage info 2
        npm-install warning 11
        init-missing warning 13
        """,
    ),
    "the example of Next.js": Project(
        {
            "Dockerfile": """
                FROM node:18-alpine AS base
                FROM base AS deps
                WORKDIR /app
                COPY package.json yarn.lock* package-lock.json* pnpm-lock.yaml* ./
                RUN \\
                  if [ -f yarn.lock ]; then yarn --frozen-lockfile; \\
                  elif [ -f package-lock.json ]; then npm ci; \\
                  elif [ -f pnpm-lock.yaml ]; then yarn global add pnpm && pnpm i --frozen-lockfile; \\
                  else echo "Lockfile not found." && exit 1; \\
                  fi
                FROM base AS builder
                WORKDIR /app
                COPY --from=deps /app/node_modules ./node_modules
                COPY . .
                RUN yarn build
                FROM base AS runner
                WORKDIR /app
                ENV NODE_ENV production
                COPY --from=builder /app/public ./public
                COPY --from=builder --chown=nextjs:nodejs /app/.next/standalone ./
                USER nextjs
                EXPOSE 3000
                ENV HOSTNAME "0.0.0.0"
                CMD ["node", "server.js"]
                """,
            ".dockerignore": "Dockerfile\nnode_modules\n.next\n.git\n",
            "package.json": '{"dependencies": {"next": "13"}, "devDependencies": {"typescript": "5"}}',
            "package-lock.json": "{}",
            "next.config.js": "module.exports = { output: 'standalone' };",
        },
        """
        .dockerignore dockerignore-env error 1
        base-digest info 1
        audit-missing info 16
        healthcheck-missing warning 16
        init-missing warning 24
        """,
    ),
    "the first step of nodejs-rocks-in-docker": Project(
        {
            "Dockerfile": """
                FROM node:12
                EXPOSE 3000
                WORKDIR /app
                COPY package.json package-lock*.json ./
                RUN npm install && npm cache clean --force
                COPY . .
                CMD ["npm", "start"]
                """,
            "package.json": '{"scripts": {"start": "nodemon app.js"}, "devDependencies": {"nodemon": "1"}}',
            "package-lock.json": "{}",
            "app.js": "require('http').createServer().listen(3000);",
        },
        """
        audit-missing info 1
        base-digest info 1
        healthcheck-missing warning 1
        node-env warning 1
        single-stage info 1
        user-root error 1
        dev-dependencies error 5
        npm-install warning 5
        dockerignore-missing error 6
        init-missing warning 7
        sigterm-unhandled warning 7
        start-dev error 7
        start-npm error 7
        """,
    ),
    "n8n": Project(
        {
            "docker/images/n8n/Dockerfile": """
                ARG NODE_VERSION=22
                ARG N8N_VERSION=snapshot
                FROM n8nio/base:${NODE_VERSION} AS system-deps
                FROM alpine:3.22.0 AS app-artifact-processor
                COPY ./compiled /app/
                FROM system-deps AS runtime
                ARG N8N_RELEASE_TYPE=dev
                ENV NODE_ENV=production
                ENV N8N_RELEASE_TYPE=${N8N_RELEASE_TYPE}
                WORKDIR /home/node
                COPY --from=app-artifact-processor /app /usr/local/lib/node_modules/n8n
                COPY docker/images/n8n/docker-entrypoint.sh /
                RUN cd /usr/local/lib/node_modules/n8n/node_modules/pdfjs-dist && npm install @napi-rs/canvas
                EXPOSE 5678/tcp
                USER node
                ENTRYPOINT ["tini", "--", "/docker-entrypoint.sh"]
                """,
            "docker/images/n8n/docker-entrypoint.sh": """
                #!/bin/sh
                if [ "$#" -gt 0 ]; then
                  exec n8n "$@"
                else
                  exec n8n
                fi
                """,
        },
        """
        docker/images/n8n/Dockerfile base-digest info 3
        docker/images/n8n/Dockerfile base-digest info 4
        docker/images/n8n/Dockerfile audit-missing info 6
        docker/images/n8n/Dockerfile healthcheck-missing warning 6
        docker/images/n8n/Dockerfile npm-install warning 13
        """,
    ),
    "cal.com": Project(
        {
            "Dockerfile": """
                FROM node:18 AS builder
                WORKDIR /calcom
                ARG NEXT_PUBLIC_LICENSE_CONSENT
                ARG DATABASE_URL
                ARG NEXTAUTH_SECRET=secret
                ARG CALENDSO_ENCRYPTION_KEY=secret
                ENV DATABASE_URL=$DATABASE_URL NEXTAUTH_SECRET=${NEXTAUTH_SECRET}
                COPY package.json yarn.lock .yarnrc.yml turbo.json ./
                COPY apps/web ./apps/web
                COPY packages ./packages
                RUN yarn install
                RUN yarn workspace @calcom/web run build
                FROM node:18 AS builder-two
                WORKDIR /calcom
                ENV NODE_ENV production
                COPY package.json .yarnrc.yml ./
                COPY --from=builder /calcom/node_modules ./node_modules
                COPY --from=builder /calcom/apps/web ./apps/web
                FROM node:18 AS runner
                WORKDIR /calcom
                COPY --from=builder-two /calcom ./
                ENV NODE_ENV production
                EXPOSE 3000
                HEALTHCHECK --interval=30s --timeout=30s --retries=5 \\
                    CMD curl --fail http://localhost:3000 || exit 1
                CMD ["/calcom/scripts/start.sh"]
                """,
            "scripts/start.sh": """
                #!/bin/sh
                set -x
                scripts/replace-placeholder.sh "$BUILT" "$NEXT_PUBLIC_WEBAPP_URL"
                npx prisma migrate deploy --schema /calcom/packages/prisma/schema.prisma
                yarn start
                """,
            "package.json": '{"devDependencies": {"turbo": "1"}, "workspaces": ["apps/*", "packages/*"]}',
            "yarn.lock": "",
        },
        """
        base-digest info 1
        secret-in-image warning 5
        secret-in-image warning 7
        npm-install warning 11
        audit-missing info 19
        user-root error 19
        dev-dependencies error 21
        script-exec error 26
        """,
    ),
    "immich": Project(
        {
            "server/Dockerfile": """
                FROM node:16-alpine3.14 as builder
                WORKDIR /usr/src/app
                RUN apk add --update-cache build-base python3 vips-dev
                COPY package.json package-lock.json ./
                RUN npm ci
                COPY . .
                FROM builder as prod
                RUN npm run build
                RUN npm prune --omit=dev --omit=optional
                FROM node:16-alpine3.14
                ENV NODE_ENV=production
                WORKDIR /usr/src/app
                COPY --from=prod /usr/src/app/node_modules ./node_modules
                COPY --from=prod /usr/src/app/dist ./dist
                COPY package.json package-lock.json ./
                RUN npm link && npm cache clean --force
                EXPOSE 3001
                """,
            "server/.dockerignore": "node_modules/\n",
            "server/package.json": '{"devDependencies": {"jest": "29"}}',
            "server/package-lock.json": "{}",
        },
        """
        server/.dockerignore dockerignore-env error 1
        server/.dockerignore dockerignore-git warning 1
        server/Dockerfile base-digest info 1
        server/Dockerfile audit-missing info 10
        server/Dockerfile healthcheck-missing warning 10
        server/Dockerfile start-none warning 10
        server/Dockerfile user-root error 10
        """,
    ),
    "wekan": Project(
        {
            "Dockerfile": """
                FROM ubuntu:24.04
                ARG DEBIAN_FRONTEND=noninteractive
                ENV \\
                    OAUTH2_SECRET="" \\
                    OAUTH2_TOKEN_ENDPOINT="" \\
                    PASSWORD_LOGIN_ENABLED=true \\
                    ACCOUNTS_LOCKOUT_KNOWN_USERS_PERIOD=60 \\
                    S3_SECRET_FILE=""
                RUN <<EOR
                set -o xtrace
                # USER root is no instruction in here
                useradd --user-group --system --home-dir /home/wekan wekan
                apt-get install --assume-yes --no-install-recommends wget
                wget "https://github.com/wekan/wekan/releases/download/v8.17/wekan-8.17-amd64.zip"
                npm install -g npm@6.14.17 --production
                EOR
                USER wekan
                ENV PORT=8080
                EXPOSE $PORT
                STOPSIGNAL SIGKILL
                WORKDIR /home/wekan/app
                CMD ["bash", "-c", "ulimit -s 65500; exec node /build/main.js"]
                """
        },
        """
        base-digest info 1
        healthcheck-missing warning 1
        node-env warning 1
        single-stage info 1
        stop-signal error 20
        init-missing warning 22
        """,
    ),
    "hedgedoc": Project(
        {
            "alpine/Dockerfile": f"""
                FROM node:16.13.0-alpine@{_DIGEST} AS base
                FROM base AS builder
                ARG VERSION=master
                RUN git clone --depth 1 --branch "$VERSION" https://github.com/hedgedoc/hedgedoc.git /hedgedoc
                WORKDIR /hedgedoc
                RUN yarn install --production=false --pure-lockfile
                RUN yarn run build
                RUN yarn install --production=true --pure-lockfile
                FROM base
                ARG UID=10000
                ENV NODE_ENV=production
                COPY --chown=$UID --from=builder /hedgedoc /hedgedoc
                COPY ["resources/config.json", "/files/"]
                HEALTHCHECK --interval=5s CMD node healthcheck.mjs
                RUN apk add --no-cache gosu
                WORKDIR /hedgedoc
                EXPOSE 3000
                COPY ["resources/docker-entrypoint.sh", "/usr/local/bin/docker-entrypoint.sh"]
                ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]
                CMD ["node", "app.js"]
                """,
            "resources/docker-entrypoint.sh": """
                #!/usr/bin/env sh
                set -eu
                if [ "$(id -u)" -eq 0 ]; then
                    exec gosu hedgedoc "$@"
                fi
                exec "$@"
                """,
        },
        """
        alpine/Dockerfile audit-missing info 9
        alpine/Dockerfile user-root info 9
        alpine/Dockerfile init-missing warning 20
        """,
    ),
    "ghost": Project(
        {
            "Dockerfile.production": """
                # syntax=docker/dockerfile:1-labs
                ARG NODE_VERSION=22.23.1
                FROM node:$NODE_VERSION-bookworm-slim AS deploy
                WORKDIR /build
                COPY --exclude=ghost/core/core/built . .
                RUN --mount=type=cache,target=/root/.local/share/pnpm/store,id=pnpm-store \\
                    pnpm install --filter "ghost..." --frozen-lockfile --prefer-offline
                RUN pnpm --filter-prod "ghost^..." -r run build && \\
                    pnpm --filter ghost run build:tsc
                RUN --mount=type=cache,target=/root/.local/share/pnpm/store,id=pnpm-store \\
                    pnpm --filter=ghost --config.inject-workspace-packages=true deploy --prod /home/ghost
                FROM node:$NODE_VERSION-bookworm-slim AS core
                ENV NODE_ENV=production
                WORKDIR /home/ghost
                COPY --chown=nobody:nogroup --from=deploy /home/ghost ./
                USER ghost
                EXPOSE 2368
                CMD ["node", "index.js"]
                FROM core AS full
                COPY --chown=nobody:nogroup ghost/core/core/built/admin core/built/admin
                """,
            ".dockerignore": "**/node_modules\n.git\n.env*\n",
            "package.json": '{"devDependencies": {"nx": "1"}, "workspaces": ["ghost/*"]}',
            "pnpm-lock.yaml": "",
            "ghost/core/core/bridge.js": "process.removeAllListeners('SIGINT').on('SIGINT', f).on('SIGTERM', f);",
        },
        """
        Dockerfile.production base-digest info 3
        Dockerfile.production init-missing warning 18
        Dockerfile.production audit-missing info 19
        Dockerfile.production healthcheck-missing warning 19
        """,
    ),
    "the result of example-voting-app": Project(
        {
            "result/Dockerfile": """
                FROM node:18-slim AS base
                RUN apt-get update && apt-get install -y --no-install-recommends curl tini
                WORKDIR /app
                COPY package*.json ./
                RUN npm ci \\
                 && npm cache clean --force \\
                 && mv /app/node_modules /node_modules
                COPY . .
                ENV PORT 80
                EXPOSE 80
                FROM base AS development
                RUN npm install -g nodemon
                ENTRYPOINT ["/usr/bin/tini", "--"]
                CMD ["nodemon", "server.js"]
                FROM base AS production
                ENTRYPOINT ["/usr/bin/tini", "--"]
                CMD ["node", "server.js"]
                """,
            "result/.dockerignore": "node_modules\n",
            "result/package.json": '{"dependencies": {"express": "4"}}',
            "result/package-lock.json": "{}",
            "result/server.js": "require('express')().listen(80);",
        },
        """
        result/.dockerignore dockerignore-env error 1
        result/.dockerignore dockerignore-git warning 1
        result/Dockerfile base-digest info 1
        result/Dockerfile audit-missing info 15
        result/Dockerfile healthcheck-missing warning 15
        result/Dockerfile node-env warning 15
        result/Dockerfile single-stage info 15
        result/Dockerfile user-root error 15
        result/Dockerfile sigterm-unhandled warning 17
        """,
    ),
    "the currency service of microservices-demo": Project(
        {
            "src/currencyservice/Dockerfile": """
                FROM node:16-alpine as base
                FROM base as builder
                RUN apk add --update --no-cache python3 make g++
                WORKDIR /usr/src/app
                COPY package*.json ./
                RUN npm install --only=production
                FROM base
                RUN wget -qO/bin/grpc_health_probe https://github.com/grpc-ecosystem/grpc-health-probe/releases/x && \\
                    chmod +x /bin/grpc_health_probe
                WORKDIR /usr/src/app
                COPY --from=builder /usr/src/app/node_modules ./node_modules
                COPY . .
                EXPOSE 7000
                ENTRYPOINT [ "node", "server.js" ]
                """,
            "src/currencyservice/.dockerignore": "client.js\nnode_modules/\n",
            "src/currencyservice/package.json": '{"devDependencies": {"chai": "4"}}',
            "src/currencyservice/package-lock.json": "{}",
            "src/currencyservice/server.js": "require('@grpc/grpc-js');",
        },
        """
        src/currencyservice/.dockerignore dockerignore-env error 1
        src/currencyservice/.dockerignore dockerignore-git warning 1
        src/currencyservice/Dockerfile base-digest info 1
        src/currencyservice/Dockerfile npm-install warning 6
        src/currencyservice/Dockerfile audit-missing info 7
        src/currencyservice/Dockerfile healthcheck-missing warning 7
        src/currencyservice/Dockerfile node-env warning 7
        src/currencyservice/Dockerfile user-root error 7
        src/currencyservice/Dockerfile init-missing warning 14
        src/currencyservice/Dockerfile sigterm-unhandled warning 14
        """,
    ),
    "the front end of the sock shop": Project(
        {
            "Dockerfile": """
                FROM node:10-alpine
                ENV NODE_ENV "production"
                ENV PORT 8079
                EXPOSE 8079
                WORKDIR /usr/src/app
                COPY package.json /usr/src/app/
                COPY yarn.lock /usr/src/app/
                USER myuser
                RUN yarn install
                COPY . /usr/src/app
                CMD ["/usr/local/bin/npm", "start"]
                """,
            ".dockerignore": _IGNORE,
            "package.json": '{"scripts": {"start": "node server.js"}, "devDependencies": {"chai": "4"}}',
            "yarn.lock": "",
            "server.js": "require('express')().listen(8079);",
        },
        """
        audit-missing info 1
        base-digest info 1
        healthcheck-missing warning 1
        single-stage info 1
        npm-install warning 9
        init-missing warning 11
        sigterm-unhandled warning 11
        start-npm error 11
        """,
    ),
    "the getting-started app of Docker": Project(
        {
            "Dockerfile": """
                # syntax=docker/dockerfile:1
                FROM node:18-alpine
                WORKDIR /app
                COPY . .
                RUN yarn install --production
                CMD ["node", "src/index.js"]
                EXPOSE 3000
                """,
            "package.json": '{"devDependencies": {"nodemon": "2"}}',
            "yarn.lock": "",
            "src/index.js": "process.on('SIGINT', stop);\nprocess.on('SIGTERM', stop);\n",
        },
        """
        audit-missing info 2
        base-digest info 2
        healthcheck-missing warning 2
        node-env warning 2
        single-stage info 2
        user-root error 2
        dockerignore-missing error 4
        npm-install warning 5
        init-missing warning 6
        """,
    ),
}


def expected(project: Project) -> list[Seen]:
    """The table of a project, read."""
    rows = []
    for line in project.expected.strip().splitlines():
        words = line.split()
        path = words[0] if len(words) == 4 else "Dockerfile"
        rule, level, number = words[-3:]
        rows.append(Seen(rule, level, f"{path}:{number}"))
    return rows


@pytest.mark.parametrize("name", PROJECTS)
def test_the_findings_are_right(tmp_path: Path, name: str) -> None:
    project = PROJECTS[name]
    assert seen(checked(tmp_path, project.files, target=project.target)) == expected(project)
