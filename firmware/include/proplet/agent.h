/*
 * The agent as a state machine: what is heard goes in, what must be done comes out by calls. The
 * twin of proplet/agent.py; both hold the conversations in schemas/wire/vectors/agent. (In the
 * making: the structs below are complete first, so that ports can size their memory.)
 */
#ifndef PROPLET_AGENT_H
#define PROPLET_AGENT_H

#include "proplet/port.h"

struct pp_run;
struct pp_stone;
struct pp_blob;

#endif
