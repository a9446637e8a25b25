package beam

import "flag"

// Soak is the flag -soak: what a test counts, it counts as far as is promised, though
// that takes long.
var Soak = flag.Bool("soak", false, "count as far as is promised: it takes long")

// Times is how often to do something: less often where no soak is asked for.
func Times(ordinary, soaking int) int {
	if *Soak {
		return soaking
	}
	return ordinary
}
