/*
 * See certs.h. Mbed TLS could compare the dates itself (MBEDTLS_HAVE_TIME_DATE), but refuses
 * everything while it has no time, and Zephyr's sockets hand no callback on: so theirs is set where
 * they name the CA, by the linker's --wrap.
 */
#include "certs.h"

#include <mbedtls/ssl.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/sys/timeutil.h>

#include "device.h"
#include "inside.h"

LOG_MODULE_REGISTER(proplet_certs, CONFIG_PROPLET_LOG_LEVEL);

static struct {
	struct proplet *proplet;
	int64_t from, to; /* Unix s: when all of the chain count */
	bool judged;	  /* by a time that was known */
} chain = {.judged = true};

static int64_t seconds(const mbedtls_x509_time *time)
{
	struct tm tm = {.tm_year = time->year - 1900,
			.tm_mon = time->mon - 1,
			.tm_mday = time->day,
			.tm_hour = time->hour,
			.tm_min = time->min,
			.tm_sec = time->sec};

	return timeutil_timegm64(&tm);
}

/* True where the time is known; else *now is what it is at least. */
static bool time_of(int64_t *now)
{
	const struct pp_now time = proplet_now(chain.proplet);
	const int64_t floor = chain.proplet->agent.floor;
	const bool known = pp_synced(&chain.proplet->agent, time);

	*now = (known && time.wall > floor ? time.wall : floor) / 1000;
	return known;
}

static int judge(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	const int64_t from = seconds(&crt->valid_from);
	const int64_t to = seconds(&crt->valid_to);
	int64_t now;
	const bool known = time_of(&now);

	ARG_UNUSED(ctx);
	chain.from = MAX(chain.from, from);
	chain.to = MIN(chain.to, to);
	chain.judged = known;
	if (now > to) {
		*flags |= MBEDTLS_X509_BADCERT_EXPIRED;
		LOG_WRN("the certificate of %s ended on %04d-%02d-%02d",
			depth == 0 ? "the broker" : "its authority", crt->valid_to.year,
			crt->valid_to.mon, crt->valid_to.day);
	} else if (known && now < from) {
		*flags |= MBEDTLS_X509_BADCERT_FUTURE;
		LOG_WRN("the certificate of %s begins on %04d-%02d-%02d",
			depth == 0 ? "the broker" : "its authority", crt->valid_from.year,
			crt->valid_from.mon, crt->valid_from.day);
	}
	return 0;
}

void __real_mbedtls_ssl_conf_ca_chain(mbedtls_ssl_config *conf, mbedtls_x509_crt *ca,
				      mbedtls_x509_crl *crl);

void __wrap_mbedtls_ssl_conf_ca_chain(mbedtls_ssl_config *conf, mbedtls_x509_crt *ca,
				      mbedtls_x509_crl *crl)
{
	__real_mbedtls_ssl_conf_ca_chain(conf, ca, crl);
	mbedtls_ssl_conf_verify(conf, judge, NULL);
}

void certs_begin(struct proplet *proplet)
{
	chain.proplet = proplet;
	chain.from = INT64_MIN;
	chain.to = INT64_MAX;
	chain.judged = true;
}

bool certs_ended(void)
{
	static bool told;
	int64_t now;
	bool known;

	if (chain.to == INT64_MAX && !told) {
		told = true; /* a Zephyr whose sockets name the CA in another way */
		LOG_ERR("no certificate was shown: their days are not checked");
	}
	if (chain.judged) {
		return false;
	}
	known = time_of(&now);
	if (now > chain.to || (known && now < chain.from)) {
		LOG_WRN("connected by a certificate that does not count today: once more");
		return true;
	}
	chain.judged = known;
	return false;
}
