"""The guide's agent on LiveKit's Python framework, as `cargo xtask bench conversation` measures it.

It dials the number in the job's metadata, greets, talks, and transfers by SIP REFER. Turns are taken as
the framework does it by default. Load does not make it refuse calls: how many it carries is measured.
"""

import json
import os

from livekit import api
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    RunContext,
    cli,
    function_tool,
    get_job_context,
)
from livekit.plugins import openai, silero

CALLEE = "callee"


class Receptionist(Agent):
    def __init__(self) -> None:
        super().__init__(
            instructions=(
                "You are a friendly receptionist on the telephone. Speak in one or two short sentences. "
                "When the caller wants to be transferred, call transfer_call."
            )
        )

    @function_tool()
    async def transfer_call(self, ctx: RunContext, number: str | None = None) -> str:
        """Transfers the caller to a number, or to a live agent when no number is given."""
        number = number or os.environ["DEFAULT_TRANSFER_NUMBER"]
        await ctx.session.say("Transferring you now.")
        job = get_job_context()
        await job.api.sip.transfer_sip_participant(
            api.TransferSIPParticipantRequest(
                room_name=job.room.name,
                participant_identity=CALLEE,
                transfer_to=f"sip:{number}@{os.environ['VOBIZ_SIP_DOMAIN']}",
            )
        )
        return "transferred"


def prewarm(process: JobProcess) -> None:
    process.userdata["vad"] = silero.VAD.load()


server = AgentServer(setup_fnc=prewarm, load_fnc=lambda: 0.0)


@server.rtc_session(agent_name="outbound-caller")
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()
    await ctx.api.sip.create_sip_participant(
        api.CreateSIPParticipantRequest(
            room_name=ctx.room.name,
            sip_trunk_id=os.environ["OUTBOUND_TRUNK_ID"],
            sip_call_to=json.loads(ctx.job.metadata)["phone_number"],
            participant_identity=CALLEE,
            wait_until_answered=True,
        )
    )
    session = AgentSession(
        vad=ctx.proc.userdata["vad"],
        stt=openai.STT(),
        llm=openai.LLM(model="gpt-4o-mini"),
        tts=openai.TTS(model="tts-1", response_format="pcm"),
    )
    await session.start(agent=Receptionist(), room=ctx.room)
    await session.say(os.environ["GREETING"])


if __name__ == "__main__":
    cli.run_app(server)
