/** The app of `tidegate.ts`, for an emulator of AWS: `npx cdk deploy --app 'npx tsx bin/emulator.ts' -c canary=false`. */

import { removeWhatEmulatorsLack } from './lacking';
import { app } from './tidegate';

removeWhatEmulatorsLack(app);
