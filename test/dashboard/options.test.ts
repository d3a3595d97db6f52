/** Options of the page. */
import test from 'ava';
import { UsageError } from '../../runtime/errors.ts';
import { TOKEN_VARIABLE, tokenFor } from '../../tools/dashboard/access.ts';
import { dashboardOptions, shownCommand } from '../../tools/dashboard/options.ts';

test('nobody asks for a page: there is none', (t) => {
  t.is(dashboardOptions({}, {}), null);
});

test('on this machine it needs no token, and takes the one that is set', (t) => {
  t.deepEqual(dashboardOptions({ dashboard: true }, {}), { host: '127.0.0.1', port: null, token: null });
  t.deepEqual(dashboardOptions({ dashboard: '0', dashboardHost: 'localhost' }, { [TOKEN_VARIABLE]: 'mine' }), {
    ...{ host: 'localhost', port: 0, token: 'mine' },
  });
});

test('elsewhere it has a token of its own, another each time, unless one is set', (t) => {
  const [one, other] = [tokenFor('0.0.0.0', {}), tokenFor('0.0.0.0', { [TOKEN_VARIABLE]: '' })];
  t.regex(one ?? '', /^[\w-]{24}$/);
  t.regex(other ?? '', /^[\w-]{24}$/);
  t.not(one, other);
  t.is(tokenFor('::', { [TOKEN_VARIABLE]: 'mine' }), 'mine');
});

test('what is no port is refused, with a hint', (t) => {
  for (const dashboard of ['model.onnx', '-1', '65536', '8e3', '80.5', '']) {
    t.throws(
      () => dashboardOptions({ dashboard }, {}),
      { instanceOf: UsageError, message: /--dashboard must be a port/ },
      dashboard,
    );
  }
  t.throws(() => dashboardOptions({ dashboardHost: '0.0.0.0' }, {}), {
    instanceOf: UsageError,
    message: /needs --dashboard/,
  });
});

test('the command line is shown without tokens', (t) => {
  t.deepEqual(shownCommand(['adapt', 'm.onnx', '--token', 'secret', '--batch', '8', '--token=secret']), [
    ...['adapt', 'm.onnx', '--token', '***', '--batch', '8', '--token=***'],
  ]);
});
