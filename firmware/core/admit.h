/* Inside of the core: may a module run here at all? */
#ifndef PP_ADMIT_H
#define PP_ADMIT_H

#include "inside.h"

/* What the module of a guest says of itself, read piece by piece from storage: it is whole, imports
 * nothing that is not offered, fits the guest's memory and has the export that is called. False, and
 * why in the words of the Linux proplet. Sets why where it is not. */
bool pp_admit(const struct proplet_port *port, const struct proplet_engine *engine,
	      const struct proplet_guest *guest, struct pp_words *why);

/* The same of native code: it is whole, made for this engine, and of the kind that can be stopped.
 * What the code does cannot be told. */
bool pp_admit_aot(const struct proplet_port *port, const struct proplet_engine *engine,
		  const struct proplet_guest *guest, struct pp_words *why);

#endif
