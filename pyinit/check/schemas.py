"""The form of compose files and task definitions: of what the rules read every value, of the rest the names.

Not the projects' own schemas: those refuse what next year's engine takes, and know nothing of values that are there at
deployment only. Names that nobody knows are told of where they are nearly one that exists, as a slip.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
from jsonschema import Draft202012Validator

from pyinit.check.located import Open, Path

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

_KEY_DEPTH = 3

_STRING: Schema = {"type": "string"}
_BOOLEAN: Schema = {"type": "boolean"}
_STRINGS: Schema = {"type": "array", "items": _STRING}
_COMMAND: Schema = {"type": ["string", "array", "null"], "items": _STRING}
_SCALARS: Schema = {
    "type": ["object", "array"],
    "items": _STRING,
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}
_DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(us|ms|h|m|s))+$"}

_SERVICE_NAMES = """
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count
cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy
develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends
external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging
mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable
oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles provider pull_policy read_only
restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs
tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir
"""
_CONTAINER_NAMES = """
name image repositoryCredentials cpu memory memoryReservation links portMappings restartPolicy essential entryPoint
command environment environmentFiles mountPoints volumesFrom linuxParameters secrets dependsOn startTimeout stopTimeout
versionConsistency hostname user workingDirectory disableNetworking privileged readonlyRootFilesystem dnsServers
dnsSearchDomains extraHosts dockerSecurityOptions interactive pseudoTerminal dockerLabels ulimits logConfiguration
healthCheck systemControls resourceRequirements firelensConfiguration credentialSpecs
"""

COMPOSE: Schema = {
    "type": "object",
    "properties": {
        "services": {
            "type": ["object", "null"],
            "additionalProperties": {
                "type": ["object", "null"],
                "properties": {
                    "image": _STRING,
                    "build": {
                        "type": ["string", "object"],
                        "properties": {
                            "context": _STRING,
                            "dockerfile": _STRING,
                            "dockerfile_inline": _STRING,
                            "target": _STRING,
                        },
                    },
                    "command": _COMMAND,
                    "entrypoint": _COMMAND,
                    "environment": _SCALARS,
                    "env_file": {"type": ["string", "array"]},
                    "init": _BOOLEAN,
                    "privileged": _BOOLEAN,
                    "read_only": _BOOLEAN,
                    "restart": _STRING,
                    "stop_grace_period": _DURATION,
                    "stop_signal": {"type": ["string", "integer"]},
                    "user": {"type": ["string", "integer"]},
                    "depends_on": {
                        "type": ["array", "object"],
                        "items": _STRING,
                        "additionalProperties": {
                            "type": "object",
                            "required": ["condition"],
                            "properties": {
                                "condition": {
                                    "enum": [
                                        "service_started",
                                        "service_healthy",
                                        "service_completed_successfully",
                                    ]
                                }
                            },
                        },
                    },
                    "healthcheck": {
                        "type": "object",
                        "properties": {
                            "test": {"type": ["string", "array"], "items": _STRING},
                            "disable": _BOOLEAN,
                            "interval": _DURATION,
                            "timeout": _DURATION,
                            "start_period": _DURATION,
                            "retries": {"type": "number"},
                        },
                    },
                    "ports": {"type": "array", "items": {"type": ["string", "integer", "object"]}},
                    "volumes": {"type": "array", "items": {"type": ["string", "object"]}},
                },
                "x-known": _SERVICE_NAMES.split(),
            },
        }
    },
    "x-known": [
        "name",
        "version",
        "services",
        "networks",
        "volumes",
        "configs",
        "secrets",
        "include",
        "models",
    ],
}

_PAIRS: Schema = {
    "type": "array",
    "items": {"type": "object", "required": ["name"], "properties": {"name": _STRING, "value": _STRING}},
}

TASK: Schema = {
    "type": "object",
    "required": ["containerDefinitions"],
    "properties": {
        "containerDefinitions": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "image"],
                "properties": {
                    "name": _STRING,
                    "image": _STRING,
                    "essential": _BOOLEAN,
                    "privileged": _BOOLEAN,
                    "readonlyRootFilesystem": _BOOLEAN,
                    "stopTimeout": {"type": "integer", "minimum": 0},
                    "startTimeout": {"type": "integer", "minimum": 0},
                    "command": _STRINGS,
                    "entryPoint": _STRINGS,
                    "environment": _PAIRS,
                    "secrets": _PAIRS,
                    "user": _STRING,
                    "linuxParameters": {"type": "object", "properties": {"initProcessEnabled": _BOOLEAN}},
                    "healthCheck": {
                        "type": "object",
                        "required": ["command"],
                        "properties": {"command": {"type": "array", "items": _STRING, "minItems": 1}},
                    },
                    "dependsOn": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["containerName", "condition"],
                            "properties": {
                                "containerName": _STRING,
                                "condition": {"enum": ["START", "COMPLETE", "SUCCESS", "HEALTHY"]},
                            },
                        },
                    },
                },
                "x-known": _CONTAINER_NAMES.split(),
            },
        }
    },
}


def _known(
    _validator: Any,  # noqa: ANN401  the library's signature
    names: list[str],
    instance: object,
    _schema: Schema,
) -> Iterator[jsonschema.ValidationError]:
    if not isinstance(instance, dict):
        return
    for name in instance:
        if name in names or name.startswith("x-"):
            continue
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
        if near:
            yield jsonschema.ValidationError(f"there is no {name!r}: {near[0]} is meant", path=[name])


def _one_of(
    _validator: Any,  # noqa: ANN401  the library's signature
    values: list[str],
    instance: object,
    _schema: Schema,
) -> Iterator[jsonschema.ValidationError]:
    if not _is_open(instance) and instance not in values:
        yield jsonschema.ValidationError(f"{instance!r} is none of {', '.join(values)}")


def _is_open(value: object) -> bool:
    return isinstance(value, Open) or (isinstance(value, str) and "$" in value)


def _type(
    validator: Any,  # noqa: ANN401  the library's signature
    types: str | list[str],
    instance: object,
    _schema: Schema,
) -> Iterator[jsonschema.ValidationError]:
    names = [types] if isinstance(types, str) else types
    if not _is_open(instance) and not any(validator.is_type(instance, name) for name in names):
        yield jsonschema.ValidationError(f"{instance!r} is no {' or '.join(names)}")


def _pattern(
    validator: Any,  # noqa: ANN401  the library's signature
    pattern: str,
    instance: object,
    schema: Schema,
) -> Iterator[jsonschema.ValidationError]:
    if not _is_open(instance) and any(
        Draft202012Validator.VALIDATORS["pattern"](validator, pattern, instance, schema)
    ):
        yield jsonschema.ValidationError(f"{instance!r} is no duration: 30s, 1m30s")


_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # so it is in its stubs
    Draft202012Validator, {"x-known": _known, "type": _type, "pattern": _pattern, "enum": _one_of}
)


class Fault(NamedTuple):
    """A place where a value has not its form.

    Attributes:
        at: the path to it.
        text: what is wrong, without a full stop.
    """

    at: Path
    text: str

    def __str__(self) -> str:
        """With its place in front."""
        where = ".".join(map(str, self.at))
        return f"{where}: {self.text}." if where else f"{self.text}."


def faults(value: object, schema: Schema) -> list[Fault]:
    """Every one of them. What has not its form becomes Open: no rule is to judge it as well.

    Args:
        value: what was read.
        schema: one of the above.
    """
    found = [
        Fault(tuple(problem.absolute_path), problem.message[:300])
        for problem in _Validator(schema).iter_errors(value)
    ]
    for fault in found:
        # services.NAME.KEY and containerDefinitions.AT.KEY: both are three deep.
        if len(fault.at) >= _KEY_DEPTH:
            _blank(value, fault.at[:_KEY_DEPTH])
    return found


def _blank(value: Any, at: Path) -> None:  # noqa: ANN401  a value of a file
    for key in at[:-1]:
        value = value[key]
    value[at[-1]] = Open("malformed")
