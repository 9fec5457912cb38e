"""What a description in JSON Schema cannot say of requests: rules of state and across fields, each with its reason."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Excepted:
    """A refusal of what the description allows: the code of the error, how its message begins, and why."""

    code: str
    message: str
    why: str

    def covers(self, code: str, message: str) -> bool:
        """Whether a refusal is this one."""
        return code == self.code and re.match(self.message, message) is not None


REFUSED = (
    Excepted("InvalidSkipToken", r"\$skipToken: ", "a page token is signed: its look does not tell that it is ours"),
    Excepted("PreconditionFailed", "If-(None-)?Match: ", "whether a tag is that of the resource now is a matter of state"),
    Excepted("RepeatabilityExpired", "Repeatability-First-Sent: ", "requests are remembered for a day from now"),
    Excepted("InvalidRepeatability", ".*: required with the other one", "two headers go together"),
    Excepted("RepeatabilityMismatch", "", "the id was another request's"),
    Excepted("ComputeResourceNotFound", "compute", "which compute resources there are is a matter of state"),
    Excepted("InvalidRequest", "(manifestId|imageId|modelIds.*): got .*: there is no", "which ids there are, too"),
    Excepted("InvalidRequest", "driverProgram: got .*, the id of ", "the driver is one of the assets in the same body"),
    Excepted("InvalidRequest", "numReplicas: got .* while autoScaler", "replicas are counted or scaled, never both"),
    Excepted("InvalidRequest", r"autoScaler\.maxReplicas: got .*; accepts at least", "two bounds must not cross"),
    Excepted(
        "InvalidRequest",
        r"containerResourceReservation\.\w+: got .*; accepts at least",
        "quantities have no order",
    ),
    Excepted("InvalidRequest", "environmentVariables: .* characters in all", "the sum of all values is bounded"),
    Excepted("InvalidRequest", ".*accepts exactly one of aksResourceId", "one of several properties is given"),
    Excepted("InvalidRequest", ".*accepts cluster with kind kubernetes", "one property depends on the value of another"),
    Excepted("InvalidRequest", ".*accepts gateway with kind gateway", "so does this"),
    Excepted("InvalidRequest", ".*accepts prometheusAddress and activationQuery together", "and these"),
)
